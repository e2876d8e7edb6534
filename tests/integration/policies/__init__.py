"""ValidatingAdmissionPolicies and MutatingAdmissionPolicies: the guard, exported ones, those of other tools."""
