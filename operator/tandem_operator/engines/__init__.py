"""How a ModelDeployment becomes running replicas: today Ray Serve on an external Ray cluster.

``serve_document`` and ``serve_details`` are pure: what to write, and what an answer means. ``serve_engine`` reads,
asks them, and writes. Called by ``reconcile_deployment``, ``finalize``, ``polling`` and ``leading``.
"""
