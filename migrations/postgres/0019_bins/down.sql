DROP INDEX image_in_bin;
DROP INDEX volume_in_bin;
ALTER TABLE image DROP COLUMN destroy_time;
ALTER TABLE volume DROP COLUMN destroy_time;
