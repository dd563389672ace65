"""sensor_reader"""
