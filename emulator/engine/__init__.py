"""The compiled machine: the golden model's bits at full speed, in C++ behind ctypes."""
