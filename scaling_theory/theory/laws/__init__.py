"""Laws of the optimum in closed form: constants, the uniform law, mixtures, finite populations."""
