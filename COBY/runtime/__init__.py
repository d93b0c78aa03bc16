"""The impure part of COBY: everything here talks to sockets, servers, files or the process itself."""
