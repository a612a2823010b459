"""The API ``tandem.dev/v1alpha1``: its single definition, from which the CRDs are generated."""
