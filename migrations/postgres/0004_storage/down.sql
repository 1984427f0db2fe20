DROP TABLE primary_storage_host;
DROP TABLE volume;
DROP TABLE image;
DROP TABLE image_server;
DROP TABLE primary_storage;
