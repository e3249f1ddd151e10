import gin
import numpy as np
from disentanglement_lib.evaluation.metrics.dci import compute_dci_on_fixed_data
from disentanglement_lib.evaluation.metrics.mig import compute_mig_on_fixed_data
from disentanglement_lib.evaluation.metrics.sap_score import compute_sap_on_fixed_data

gin.parse_config("""
discretizer.discretizer_fn = @histogram_discretizer
discretizer.num_bins = 20
""")
codes, factors = np.load("codes.npy"), np.load("factors.npy").T
print(compute_mig_on_fixed_data(codes, factors, np.array))
print(compute_dci_on_fixed_data(codes, factors, np.array, 2 / 3))
print(compute_sap_on_fixed_data(codes, factors, np.array, 2 / 3, False))
