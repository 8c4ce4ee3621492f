CLASSES = ("person", "bicycle", "motorcycle", "car", "bus", "truck", "fire", "smoke")
