import vaedis as vd

spec = vd.RunSpec(
    data_options={"grid_spacing": 8, "num_squares": 2}, normalize=False, steps=20, batch=32
)
vd.fit(spec).export_onnx("onnx")
