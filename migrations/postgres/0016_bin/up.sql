-- What lies in the bin, oldest first: it is looked through for what is due.
CREATE INDEX vm_in_bin ON vm (destroy_time, uuid) WHERE state = 'DESTROYED';
