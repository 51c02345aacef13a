"""Cactus Compute's Needle as routers: the open 26M model (v1) on ONNX Runtime, and v2/v3 through the vendor's package."""
