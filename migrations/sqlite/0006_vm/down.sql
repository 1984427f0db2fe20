DROP TABLE vm;
DROP TABLE instance_offering;
