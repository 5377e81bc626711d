"""The jobs' parent: a process of its own, standard library only, imports nothing of ours."""
