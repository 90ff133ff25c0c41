"""``make demo-real``: the applications of ``examples/dubbo-demo`` in a small real cluster, boarded and taken back.

``story`` is what happens; ``workloads`` does what controllers and the kubelet do with the manifests, ``screen`` prints,
and ``shell`` has the commands that are typed. Run it as ``python -m tests.demo``.
"""
