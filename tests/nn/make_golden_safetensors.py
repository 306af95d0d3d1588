"""Writes tests/data/golden.safetensors with the public package: pip install safetensors==0.8.0 numpy."""

import pathlib

import numpy as np
import safetensors

# numpy has no bfloat16: it is the upper half of float32, and 1.5 and -2 are exact in it
BFLOAT16_BITS = np.array([[0x3FC0], [0xC000]], dtype=np.uint16)
ARRAYS = {
    "f32": ("float32", np.arange(-2, 4, dtype=np.float32).reshape(2, 3) / 2),
    "f64": ("float64", np.array([0.1, -1e300])),
    "f16": ("float16", np.array([0.5, -65504, 2.0**-24, np.inf], dtype=np.float16)),
    "bf16": ("bfloat16", BFLOAT16_BITS),
    "i32": ("int32", np.array([-(2**31), 0, 2**31 - 1], dtype=np.int32)),
    "i64": ("int64", np.array([[-5, 123456789]])),
    "u8": ("uint8", np.array([0, 128, 255], dtype=np.uint8)),
    "bool": ("bool", np.array([[True, False], [False, True]])),
    "scalar": ("float32", np.array(42, dtype=np.float32)),
}

tensors = {
    name: safetensors.TensorSpec(dtype=dtype, shape=array.shape, data_ptr=array.ctypes.data, data_len=array.nbytes)
    for name, (dtype, array) in ARRAYS.items()
}
path = pathlib.Path(__file__).resolve().parent.parent / "data" / "golden.safetensors"
path.write_bytes(safetensors.serialize(tensors, {"made_by": "safetensors", "note": "이름"}))
print(f"wrote {path} with safetensors {safetensors.__version__}")
