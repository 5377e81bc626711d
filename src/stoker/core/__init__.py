"""What a job is: states, models, notations, settings, storage. The ground floor."""
