"""Trains models of groups from recorded tables, and packs each as a Greengrass component of its own.

``dataset`` reads and cuts, ``dense`` (auto-encoder), ``ridge`` (linear forecaster) and ``keras_models`` (convolutional
and int8, with TensorFlow) fit, ``evaluation`` measures on what was held out, ``model_component`` writes recipe, model
and manifest, and ``train`` puts them together. The detector's ``models.manifest`` reads what they make.
"""
