"""Datasets, and the tables each is made from. Written by `headwater contract generate`; do not edit."""

from typing import Any

DOMAINS: list[str] = ["loyalty"]

DATASETS: dict[str, dict[str, Any]] = {
    "campaign_households": {
        "description": "Which household received which campaign.",
        "domain": "loyalty",
        "kind": "table",
        "inputs": [
            "bronze.campaign_households"
        ],
        "restatable": False
    },
    "campaigns": {
        "description": "Marketing campaigns that send coupons to households.",
        "domain": "loyalty",
        "kind": "table",
        "inputs": [
            "bronze.campaigns"
        ],
        "restatable": False
    },
    "coupon_redemptions": {
        "description": "A household redeems a coupon of a campaign at the till.",
        "domain": "loyalty",
        "kind": "stream",
        "inputs": [],
        "restatable": True
    },
    "coupons": {
        "description": "Which coupon of which campaign is valid for which article.",
        "domain": "loyalty",
        "kind": "table",
        "inputs": [
            "bronze.coupons"
        ],
        "restatable": False
    },
    "dim_campaign": {
        "description": "Coupon campaigns, with how many households they were sent to and what they offered.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "silver.campaign_households",
            "silver.campaigns",
            "silver.coupons"
        ],
        "restatable": False
    },
    "dim_date": {
        "description": "Days from 2016 to 2030 by which facts are grouped, with the calendar and the source's own weeks.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [],
        "restatable": False
    },
    "dim_household": {
        "description": "Households by which sales are grouped, each version with the time it held.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "silver.households"
        ],
        "restatable": False
    },
    "dim_product": {
        "description": "Products by which sales are grouped, each version with the time it held.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "silver.products"
        ],
        "restatable": False
    },
    "dim_store": {
        "description": "The stores by which sales are grouped.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "silver.stores"
        ],
        "restatable": False
    },
    "fct_sales": {
        "description": "Every line of every basket, with the keys of the dimensions as they were when it was paid. All revenue figures rest on it.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "gold.dim_date",
            "gold.dim_household",
            "gold.dim_product",
            "gold.dim_store",
            "silver.transactions"
        ],
        "restatable": True
    },
    "households": {
        "description": "The households of the loyalty programme, with what some of them told about themselves.",
        "domain": "loyalty",
        "kind": "table",
        "inputs": [
            "bronze.households"
        ],
        "restatable": False
    },
    "mart_finance_coupon_cost": {
        "description": "What coupons cost and who bears it: the manufacturer (coupon_disc) or the retailer, who matched them (coupon_match_disc).",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "gold.dim_product",
            "gold.fct_sales"
        ],
        "restatable": True
    },
    "mart_finance_daily_revenue": {
        "description": "What a day brought: baskets, households, revenue, discounts, and what the same goods cost at list and at loyalty price.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "gold.fct_sales"
        ],
        "restatable": True
    },
    "mart_finance_discounts": {
        "description": "Which discounts were given, by day, department and brand, beside what was sold.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "gold.dim_product",
            "gold.fct_sales"
        ],
        "restatable": True
    },
    "mart_marketing_campaign_response": {
        "description": "How many households a campaign was sent to, how many redeemed, and what its households bought while it ran.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "gold.dim_campaign",
            "gold.fct_sales",
            "silver.campaign_households",
            "silver.coupon_redemptions"
        ],
        "restatable": False
    },
    "mart_marketing_coupon_response": {
        "description": "How often each coupon of each campaign was redeemed, and by how many of the households it was sent to.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "gold.dim_campaign",
            "gold.dim_product",
            "silver.coupon_redemptions",
            "silver.coupons"
        ],
        "restatable": False
    },
    "mart_marketing_rfm": {
        "description": "How recently, how often and for how much each household bought, in quintiles and as a segment.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "gold.fct_sales"
        ],
        "restatable": False
    },
    "mart_operations_basket_size": {
        "description": "How large baskets are, by the number of different products in them.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "gold.fct_sales"
        ],
        "restatable": True
    },
    "mart_operations_product_performance": {
        "description": "What each product brought in a month, and its place in its department.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "gold.dim_product",
            "gold.fct_sales"
        ],
        "restatable": True
    },
    "mart_operations_promotion_effect": {
        "description": "What product x store x week sold on display, in the mailer, both, or neither, by category.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "gold.dim_product",
            "gold.fct_sales",
            "silver.promotions"
        ],
        "restatable": True
    },
    "mart_operations_store_hours": {
        "description": "What each store sells in each hour of a day: the profile by which tills and shelves are staffed.",
        "domain": "loyalty",
        "kind": "model",
        "inputs": [
            "gold.fct_sales"
        ],
        "restatable": True
    },
    "products": {
        "description": "The articles the chain sells.",
        "domain": "loyalty",
        "kind": "table",
        "inputs": [
            "bronze.products"
        ],
        "restatable": False
    },
    "promotions": {
        "description": "Where an article was displayed in a store or shown in the weekly mailer.",
        "domain": "loyalty",
        "kind": "files",
        "inputs": [
            "bronze.promotions"
        ],
        "restatable": False
    },
    "stores": {
        "description": "The stores of the chain.",
        "domain": "loyalty",
        "kind": "table",
        "inputs": [
            "bronze.stores"
        ],
        "restatable": False
    },
    "transactions": {
        "description": "One line of a shopping basket, as the point of sale reports it; the fact all revenue figures rest on.",
        "domain": "loyalty",
        "kind": "stream",
        "inputs": [],
        "restatable": True
    }
}
