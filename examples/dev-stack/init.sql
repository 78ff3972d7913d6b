-- Run once, when the volume is fresh.
CREATE TABLE visits (total bigint NOT NULL);
INSERT INTO visits VALUES (0);
