"""What things cost, measured: every number beside its spread and the machine it was taken on."""
