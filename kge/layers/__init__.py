"""What scorers of statements with qualifiers are made of: sequences, transformer, experts, interaction, messages."""
