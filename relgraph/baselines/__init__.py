"""What a graph network has to beat: constants, history, popularity, boosting; and one call that compares them all."""
