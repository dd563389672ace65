"""Training of group models from recorded tables, each packed as a Greengrass component.

``dataset`` reads and splits the data; ``dense`` (auto-encoder), ``ridge`` (linear forecaster) and ``keras_models``
(convolutional and int8, with TensorFlow) fit; ``evaluation`` computes the figures on held-out data;
``model_component`` writes recipe, model and manifest; ``train`` connects these steps. ``model_writer`` writes .tflite
files.
"""
