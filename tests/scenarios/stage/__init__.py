"""The stage of the scenarios: real ZooKeeper, etcd, kube-apiserver, dig and soadns, as processes of their own.

``Stage`` is what a scenario talks to; it reads as a story: ``stage.service(...)``, ``pod.registers(...)``,
``stage.answers(...)``. Every process is ended by its pid, also when a test fails.
"""
