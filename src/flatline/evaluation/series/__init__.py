"""One series judged along time: normalisers, learners and seeds side by side."""
