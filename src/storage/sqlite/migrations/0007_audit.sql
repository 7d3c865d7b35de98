-- What was done, beyond what its path says: which filter, how many, and why. JSON; NULL: nothing to say.
ALTER TABLE audit ADD COLUMN details TEXT;
