"""What is trained or measured: features, classifiers, encoders, networks and their settings."""
