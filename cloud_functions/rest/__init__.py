"""HTTP side of the functions api and forecast: requests, roles, routes, answers and problems of API v1."""
