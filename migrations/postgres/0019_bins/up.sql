-- When a volume or an image was put in the bin; the bin is looked through for what is due, oldest first.
ALTER TABLE volume ADD COLUMN destroy_time TIMESTAMPTZ;
ALTER TABLE image ADD COLUMN destroy_time TIMESTAMPTZ;
CREATE INDEX volume_in_bin ON volume (destroy_time, uuid) WHERE state = 'DESTROYED';
CREATE INDEX image_in_bin ON image (destroy_time, uuid) WHERE state = 'DESTROYED';
