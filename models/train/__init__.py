"""Fine-tuning of the detectors: data sets, split, network, loss, schedule, export. Never imported at run time."""
