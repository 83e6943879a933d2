"""`make demo`: the platform's main job on real data, from an empty machine to answers."""
