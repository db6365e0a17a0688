"""Every call comes in here: which call is it, who makes it, may they, and who carries it out."""
