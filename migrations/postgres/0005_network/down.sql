DROP TABLE ip_address;
DROP TABLE ip_range;
DROP TABLE l3_network;
DROP TABLE l2_network;
