"""The trainer of the embedded models: data, averaged weights, a loop that can be killed and resumed."""
