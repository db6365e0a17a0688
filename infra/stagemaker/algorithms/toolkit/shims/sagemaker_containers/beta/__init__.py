"""The part that AWS's scikit-learn examples import."""
