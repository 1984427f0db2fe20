DROP TABLE host_fence;
DROP TABLE host_placement;
DROP TABLE host;
DROP TABLE cluster;
DROP TABLE zone;
