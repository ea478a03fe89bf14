"""What the programs' logs tell."""


def clients_attached(lines):
    """How many clients are attached to the broker that wrote these lines."""
    return sum("client attached" in line for line in lines) - sum("client detached" in line for line in lines)
