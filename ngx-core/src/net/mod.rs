//! Addresses, listening sockets, connections and their deadlines.
