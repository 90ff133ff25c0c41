"""soadns: interface names of Dubbo, SOFARPC and HSF applications as DNS names of Kubernetes Services."""

__version__ = "0.1.0"
