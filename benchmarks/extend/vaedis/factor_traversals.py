import vaedis as vd

data = vd.load("xysquares", grid_spacing=8, num_squares=2)
vd.plots.traversals(data).savefig("factors.png")
