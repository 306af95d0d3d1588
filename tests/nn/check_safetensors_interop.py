"""Has the test program write a file and reads it with the public package: pip install safetensors numpy.

    python3 tests/nn/check_safetensors_interop.py build/release/tests/nn_tests
"""

import os
import subprocess
import sys
import tempfile

import numpy as np
import safetensors

EXPECTED = {
    "mask": ("U8", [3], np.array([1, 0, 255], dtype=np.uint8)),
    "matrix": ("F32", [2, 3], np.array([0, -0.5, 1e-30, 3.25, np.inf, -7], dtype=np.float32)),
    "double": ("F64", [2, 1], np.array([0.1, -1e300])),
    "half-width": ("BF16", [4], np.array([0x3FC0, 0xC000, 0x0000, 0x4480], dtype=np.uint16)),
    "tokens": ("I32", [1, 3, 1], np.array([-(2**31), 0, 2**31 - 1], dtype=np.int32)),
    "scalar": ("F32", [], np.array(42, dtype=np.float32)),
    "nothing": ("F32", [3, 0, 2], np.array([], dtype=np.float32)),
    '이름 "quoted"\n': ("U8", [1], np.array([7], dtype=np.uint8)),
}
METADATA = {"format": "haze", "키": '값 "\\" \t', "empty": ""}

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "haze.safetensors")
    subprocess.run(
        [sys.argv[1], "--test-case=safetensors: every dtype*"],
        env={**os.environ, "HAZE_SAFETENSORS_OUT": path},
        check=True,
    )
    with open(path, "rb") as file:
        tensors = dict(safetensors.deserialize(file.read()))
    assert tensors.keys() == EXPECTED.keys(), tensors.keys()
    for name, (dtype, shape, values) in EXPECTED.items():
        tensor = tensors[name]
        assert tensor["dtype"] == dtype and tensor["shape"] == shape, (name, tensor)
        assert bytes(tensor["data"]) == values.tobytes(), name
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata() == METADATA, file.metadata()
        for name, (dtype, shape, values) in EXPECTED.items():
            if dtype != "BF16":  # numpy has none
                assert np.array_equal(file.get_tensor(name), values.reshape(shape)), name
print(f"safetensors {safetensors.__version__} reads all {len(EXPECTED)} tensors and the metadata as they were written")
