"""The value of a policy, from logged decisions: with an interval, or a refusal where they cannot tell."""
