"""``make demo-real``: the applications of ``examples/dubbo-demo`` in a small real cluster, boarded, moved, taken back.

``story`` is what happens, and ``moving`` what happens to callers with sidecars; both are told by a ``teller``.
``workloads`` does what controllers and the kubelet do with the manifests, ``screen`` prints, and ``shell`` has the
commands that are typed. Run it as ``python -m tests.demo``.
"""
