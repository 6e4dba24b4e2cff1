"""What the verbs of ``siren`` share: types of parameters, output, signals."""
