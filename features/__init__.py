"""What is known about an account at a moment: the contract, the histories, the features, the outcomes."""
