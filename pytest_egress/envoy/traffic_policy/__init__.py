"""What a DestinationRule asks of clusters, endpoints, routes and TCP proxies."""
