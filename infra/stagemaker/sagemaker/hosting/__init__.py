"""Models, endpoint configurations, endpoints and the fleets behind them."""
