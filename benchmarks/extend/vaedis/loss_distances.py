import vaedis as vd


def edges(a, b):
    return (a - b).diff(dim=-1).square().mean((1, 2, 3))


data = vd.load("xysquares", grid_spacing=8, num_squares=2)
for name, along in vd.distances.factor_distances(data, loss=edges, traversals=64).items():
    print(name, along.matrix.round(4), sep="\n")
