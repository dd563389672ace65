"""anomaly_detector"""
